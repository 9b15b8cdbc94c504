import type { CategoryPreference, Preferences } from '../../javascript/src/protocol.js';
import { h, morph } from './dom.js';
import type { Feed } from './feed.js';
import type { Strings } from './strings.js';
import { adopt, BASE } from './styles.js';

/** The element that shows the categories. */
export interface Host {
  text(name: keyof Strings): string;
  change(): void;
  tell(name: string, detail: unknown): boolean;
}

/** The categories of a user with a switch each. A choice is shown at once, and taken back if it is refused. */
export class Choices {
  #host: Host;
  #feed: Feed;
  /** Says that the element shows another feed. */
  #left: AbortSignal;
  #shown = h('div');
  #known: Preferences | null = null;
  /** What the user chose and the service has not confirmed. */
  #wanted = new Map<string, boolean>();
  /** Categories whose last choice was refused. */
  #refused = new Set<string>();
  /** The version that the stream told last; null if nothing was told since the last answer. */
  #told: number | null = null;
  #state = '';
  #busy = false;
  #failed = false;

  constructor(host: Host, root: ShadowRoot, feed: Feed, left: AbortSignal) {
    this.#host = host;
    this.#feed = feed;
    this.#left = left;
    adopt(root, BASE, STYLE);
    root.replaceChildren(this.#shown);
    this.#shown.addEventListener('change', ({ target }) => this.#choose(target as HTMLInputElement));
    this.#shown.addEventListener('click', ({ target }) => (target as Element).localName === 'button' && this.#work());
    const options = { signal: left };
    feed.addEventListener('change', () => this.#follow(), options);
    feed.addEventListener('preferences', (event) => this.#hear((event as CustomEvent<number>).detail), options);
    this.#work();
  }

  render(): void {
    const busy = !this.#known && this.#busy;
    const group = { role: 'group', 'aria-label': this.#host.text('preferences'), 'aria-busy': busy && 'true' };
    morph(this.#shown, h('div', group, ...this.#content()));
    for (const input of this.#shown.querySelectorAll('input')) input.checked = input.hasAttribute('data-on');
  }

  #content(): Node[] {
    if (this.#known) {
      const rows = this.#known.categories.map((category) => this.#row(category));
      return rows.length ? [h('ul', { part: 'list', role: 'list' }, ...rows)] : [this.#line('noCategories')];
    }
    if (this.#feed.state === 'signed-out') return [this.#line('signedOut')];
    if (this.#failed) return [this.#line('preferencesFailed'), h('button', { part: 'retry', type: 'button' }, this.#host.text('retry'))];
    return [h('div', { class: 'wait', 'aria-hidden': 'true' })];
  }

  #row({ id, title, description, enabled, mandatory }: CategoryPreference): HTMLElement {
    const on = mandatory || (this.#wanted.get(id) ?? enabled);
    const note = mandatory ? 'mandatory' : this.#refused.has(id) && 'rolledBack';
    const about = [description && `about-${id}`, note && `note-${id}`].filter(Boolean).join(' ');
    const control = { type: 'checkbox', role: 'switch', part: 'switch', 'data-category': id, 'data-on': on, disabled: mandatory };
    return h(
      'li',
      { part: 'row', 'data-key': id },
      h('label', { part: 'label' }, title ?? id, h('input', { ...control, 'aria-describedby': about || null })),
      description && h('p', { part: 'description', id: `about-${id}` }, description),
      note && h('p', { part: 'note', id: `note-${id}`, role: mandatory ? null : 'alert' }, this.#host.text(note)),
    );
  }

  #line(name: keyof Strings): HTMLElement {
    return h('p', { part: 'note' }, this.#host.text(name));
  }

  #choose({ checked, dataset }: HTMLInputElement): void {
    const id = dataset.category!;
    this.#refused.delete(id);
    this.#wanted.set(id, checked);
    this.#work();
  }

  /** What could not be loaded is asked for again when the feed is back. */
  #follow(): void {
    const { state } = this.#feed;
    if (state === 'online' && state !== this.#state && !this.#known) this.#work();
    this.#state = state;
  }

  /** The stream says that the preferences changed: here, on another device, or by the application. */
  #hear(version: number): void {
    this.#told = version;
    this.#work();
  }

  /** Do one request after another, so that the last answer is the newest, until nothing is left to do. */
  async #work(): Promise<void> {
    if (this.#busy) return this.#host.change();
    this.#busy = true;
    this.#failed = false;
    this.#host.change();
    while (!this.#left.aborted && !this.#failed) {
      if (this.#wanted.size) await this.#send();
      else if (!this.#known || (this.#told !== null && this.#told !== this.#known.preferences_version)) await this.#ask();
      else break;
      this.#host.change();
    }
    this.#busy = false;
    this.#host.change();
  }

  async #send(): Promise<void> {
    const sent = [...this.#wanted];
    try {
      this.#known = await this.#feed.inbox!.setPreferences(Object.fromEntries(sent));
    } catch (error) {
      for (const [id] of sent) this.#refused.add(id);
      this.#host.tell('error', error);
    }
    // What was chosen otherwise meanwhile is sent next.
    for (const [id, value] of sent) if (this.#wanted.get(id) === value) this.#wanted.delete(id);
    for (const id of this.#wanted.keys()) this.#refused.delete(id);
  }

  async #ask(): Promise<void> {
    this.#told = null;
    try {
      this.#known = await this.#feed.inbox!.preferences();
    } catch (error) {
      this.#failed = true;
      this.#host.tell('error', error);
    }
  }
}

const STYLE = `
:host{display:block;color:var(--t);background:var(--s);border-radius:var(--r)}
ul{list-style:none;margin:0;padding:0}
li{padding:12px 16px;border-block-end:1px solid var(--l)}
li:last-child{border:0}
label{display:flex;align-items:center;justify-content:space-between;gap:16px;min-height:24px;font-weight:600;cursor:pointer}
label:has(:disabled){cursor:default}
p{margin:2px 0 0;color:var(--m);max-width:60ch}
[part=note][role=alert]{color:var(--d)}
div>[part=note],[part=retry]{margin:16px}
[part=retry]{padding:6px 12px;border:1px solid var(--l);border-radius:8px}
input{appearance:none;position:relative;flex:none;width:36px;height:20px;margin:2px;border-radius:10px;background:var(--m);cursor:inherit}
input::before{content:'';position:absolute;inset-block-start:3px;inset-inline-start:3px;width:14px;height:14px;border-radius:50%;background:var(--s);transition:inset-inline-start .12s}
input:checked{background:var(--a)}
input:checked::before{inset-inline-start:19px}
input:disabled{opacity:.5}
.wait{height:160px;margin:16px;border-radius:8px;background:var(--l);animation:wait 0s .15s both}
@keyframes wait{from{opacity:0}}
@media(prefers-reduced-motion:reduce){input::before{transition:none}}
@media(forced-colors:active){input{border:1px solid ButtonText;background:ButtonFace}input::before{inset-block-start:2px;inset-inline-start:2px;background:ButtonText}
input:checked{background:Highlight}input:checked::before{inset-inline-start:18px;background:HighlightText}
input:disabled{opacity:1;border-color:GrayText}}
`;
