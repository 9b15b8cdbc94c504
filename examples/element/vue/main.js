import { createApp, ref } from 'vue';

const { user } = document.getElementById('app').dataset;

const app = createApp({
  setup() {
    const arrived = ref(0);
    const path = ref(location.pathname);

    function navigate(event) {
      const target = event.detail.action_url;
      if (!target?.startsWith('/')) return; // another site: an ordinary link
      event.preventDefault();
      history.pushState(null, '', target); // your router's function
      path.value = target;
    }

    return { arrived, navigate, path, user };
  },
  template: `
    <header>
      <bellwire-inbox
        :user="user"
        token-url="/bell-token"
        @bellwire-arrived="arrived += $event.detail.length"
        @bellwire-navigate="navigate"
      />
    </header>
    <main>{{ arrived }} arrived since you opened this page. You are at {{ path }}.</main>
  `,
});

// With Vite: vue({ template: { compilerOptions: { isCustomElement: … } } }) in vite.config.js.
app.config.compilerOptions.isCustomElement = (tag) => tag.startsWith('bellwire-');
app.mount('#app');
