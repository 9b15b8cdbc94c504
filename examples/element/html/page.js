// Optional: what the page itself makes of events. Without it the bell works, and its links are ordinary links.
const [inbox] = document.getElementsByTagName('bellwire-inbox');
const [main] = document.getElementsByTagName('main');
let arrived = 0;

function show() {
  main.textContent = `${arrived} arrived since you opened this page. You are at ${location.pathname}.`;
}

inbox.addEventListener('bellwire-arrived', () => {
  arrived += 1;
  show();
});
inbox.navigate = (item) => {
  history.pushState(null, '', item.action_url);
  show();
};
show();
