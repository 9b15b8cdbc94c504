// For React 17 and 18, which set only attributes. Copy this file.
import { useLayoutEffect, useRef } from 'react';

/** `<bellwire-inbox>` with `properties` (`token`, `strings` …) and listeners: `on={{ arrived: … }}`. */
export function BellwireInbox({ properties = {}, on = {}, ...attributes }) {
  const element = useRef(null);
  // Not useEffect, which runs after the element has looked for a token.
  useLayoutEffect(() => {
    Object.assign(element.current, properties);
    const ended = new AbortController();
    for (const [name, listener] of Object.entries(on)) {
      element.current.addEventListener(`bellwire-${name}`, listener, { signal: ended.signal });
    }
    return () => ended.abort();
  });
  return <bellwire-inbox ref={element} {...attributes} />;
}
