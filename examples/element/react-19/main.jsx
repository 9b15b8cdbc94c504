// React 19 sets an element's properties and listens to its events: nothing to write.
import { useState } from 'react';
import { createRoot } from 'react-dom/client';

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
        <bellwire-inbox
          user={user}
          token-url="/bell-token"
          navigate={navigate}
          onbellwire-arrived={() => setArrived((count) => count + 1)}
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
