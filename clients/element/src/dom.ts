import { kept } from './kept.js';

type Child = Node | string | number | null | undefined | false;
type Props = Record<string, string | number | boolean | null | undefined>;

const SVG = 'http://www.w3.org/2000/svg';

/** Make an element. Properties are attributes: true is an empty one, false and null none. Texts are never markup. */
export function h<T extends keyof HTMLElementTagNameMap>(tag: T, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[T] {
  return fillIn(document.createElement(tag), props, children);
}

/** Copies of what was made once: faster than to make it again. */
export const copy = <E extends Element>(key: string, make: () => E): E => kept(key, make).cloneNode(true) as E;

/** An icon of 24 × 24 that is drawn with lines. */
export const svg = (path: string): SVGElement =>
  copy(path, () => {
    const line = fillIn(document.createElementNS(SVG, 'path'), { d: path }, []);
    return fillIn(document.createElementNS(SVG, 'svg'), { viewBox: '0 0 24 24', 'aria-hidden': 'true' }, [line]);
  });

function fillIn<E extends Element>(element: E, props: Props, children: Child[]): E {
  for (const [name, value] of Object.entries(props)) {
    if (value != null && value !== false) element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) if (child != null && child !== false) element.append(child as Node | string);
  return element;
}

/** Set an attribute, or take it away with null; only where that changes something, which the browser would look into. */
export function set(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** Set the text of an element, likewise. */
export function write(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Make a tree like another, and keep its elements: focus, selection and scrolling stay. Elements are paired by
 * their `data-key` or `id`, others by their order.
 */
export function morph(old: Element, next: Element): void {
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) set(old, name, value);
  let place: ChildNode | null = old.firstChild;
  for (const child of [...next.childNodes]) {
    let match = place;
    while (match && !fits(match, child)) match = match.nextSibling;
    if (match) {
      while (place && place !== match) place = drop(place);
      if (match instanceof Element) morph(match, child as Element);
      else if (match.nodeValue !== child.nodeValue) match.nodeValue = child.nodeValue;
      place = match.nextSibling;
    } else old.insertBefore(child, place);
  }
  while (place) place = drop(place);
}

const keyOf = (node: Node) => (node instanceof Element ? (node.getAttribute('data-key') ?? node.id) : '');
const fits = (one: Node, other: Node) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

function drop(node: ChildNode): ChildNode | null {
  const { nextSibling } = node;
  node.remove();
  return nextSibling;
}

/** What `reconcile` needs of a list; an element, or a stand-in for it in a test. */
export interface Parent<N> {
  readonly firstChild: N | null;
  insertBefore(node: N, before: N | null): unknown;
}

/** Put a list's nodes into an order. Those that are in order already are not touched, so that focus stays. */
export function reconcile<N extends { readonly nextSibling: N | null; remove(): void }>(parent: Parent<N>, nodes: N[]): void {
  const kept = new Set(nodes);
  for (let node = parent.firstChild; node; ) {
    const next: N | null = node.nextSibling;
    if (!kept.has(node)) node.remove();
    node = next;
  }
  let place = parent.firstChild;
  for (const node of nodes) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
}
