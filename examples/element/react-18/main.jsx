import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import { BellwireInbox } from './bellwire.jsx';

const token = async () => (await fetch('/bell-token')).text();

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
        <BellwireInbox
          user={user}
          properties={{ token }}
          on={{ navigate, arrived: ({ detail }) => setArrived((count) => count + detail.length) }}
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
