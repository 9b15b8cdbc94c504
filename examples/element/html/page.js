// Optional: what the page itself makes of events. Without it the bell works, and its links are ordinary links.
const [inbox] = document.getElementsByTagName('bellwire-inbox');
const [main] = document.getElementsByTagName('main');
let arrived = 0;

function show() {
  main.textContent = `${arrived} arrived since you opened this page. You are at ${location.pathname}.`;
}

inbox.addEventListener('bellwire-arrived', (event) => {
  arrived += event.detail.length;
  show();
});
inbox.addEventListener('bellwire-navigate', (event) => {
  const path = event.detail.action_url;
  if (!path?.startsWith('/')) return; // another site: an ordinary link
  event.preventDefault();
  history.pushState(null, '', path); // your router's function
  show();
});
show();
