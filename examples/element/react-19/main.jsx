// React 19 sets an element's properties and listens to its events: nothing to write.
import { useState } from 'react';
import { createRoot } from 'react-dom/client';

function App({ user }) {
  const [arrived, setArrived] = useState(0);
  const [path, setPath] = useState(location.pathname);

  function navigate(event) {
    const path = event.detail.action_url;
    if (!path?.startsWith('/')) return; // another site: an ordinary link
    event.preventDefault();
    history.pushState(null, '', path); // your router's function
    setPath(path);
  }

  return (
    <>
      <header>
        <bellwire-inbox
          user={user}
          token-url="/bell-token"
          onbellwire-navigate={navigate}
          onbellwire-arrived={({ detail }) => setArrived((count) => count + detail.length)}
        />
      </header>
      <main>
        {arrived} arrived since you opened this page. You are at {path}.
      </main>
    </>
  );
}

const app = document.getElementById('app');
createRoot(app).render(<App user={app.dataset.user} />);
