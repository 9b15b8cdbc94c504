import { createApp, ref } from 'vue';

const { user } = document.getElementById('app').dataset;

const app = createApp({
  setup() {
    const arrived = ref(0);
    const path = ref(location.pathname);

    function navigate(item) {
      history.pushState(null, '', item.action_url); // your router's function
      path.value = item.action_url;
    }

    return { arrived, navigate, path, user };
  },
  template: `
    <header>
      <bellwire-inbox :user="user" token-url="/bell-token" :navigate="navigate" @bellwire-arrived="arrived++" />
    </header>
    <main>{{ arrived }} arrived since you opened this page. You are at {{ path }}.</main>
  `,
});

// With Vite: vue({ template: { compilerOptions: { isCustomElement: … } } }) in vite.config.js.
app.config.compilerOptions.isCustomElement = (tag) => tag.startsWith('bellwire-');
app.mount('#app');
