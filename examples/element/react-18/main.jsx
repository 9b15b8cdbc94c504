import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import { BellwireInbox } from './bellwire.jsx';

function App({ user }) {
  const [arrived, setArrived] = useState(0);
  const [path, setPath] = useState(location.pathname);

  function navigate(item) {
    history.pushState(null, '', item.action_url); // your router's function
    setPath(item.action_url);
  }

  return (
    <>
      <header>
        <BellwireInbox
          user={user}
          token-url="/bell-token"
          properties={{ navigate }}
          on={{ arrived: () => setArrived((count) => count + 1) }}
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
