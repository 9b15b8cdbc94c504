const sheets = new Map<string, CSSStyleSheet>();

/** A style sheet that all elements share. Adopted, it needs no permission of a content security policy. */
export function adopt(root: ShadowRoot, ...texts: string[]): void {
  root.adoptedStyleSheets = texts.map((text) => {
    let sheet = sheets.get(text);
    if (!sheet) {
      sheet = new CSSStyleSheet();
      sheet.replaceSync(text);
      sheets.set(text, sheet);
    }
    return sheet;
  });
}

/** Colours, type and what every element needs. */
export const BASE = `
:host{--a:var(--bellwire-accent,light-dark(#4f46c8,#a5a3ff));--s:var(--bellwire-surface,light-dark(#fff,#1a1c25));
--t:var(--bellwire-text,light-dark(#1b1d28,#eceef5));--m:var(--bellwire-muted,light-dark(#5b6072,#a3a9bc));
--r:var(--bellwire-radius,12px);--d:var(--bellwire-danger,light-dark(#c0253f,#ff8496));
--h:color-mix(in srgb,var(--t) 12%,transparent);--l:var(--h);color-scheme:light dark;display:inline-block;
font:var(--bellwire-font,14px/20px system-ui,sans-serif)}
:host([theme=light]){color-scheme:light}:host([theme=dark]){color-scheme:dark}:host([hidden]){display:none}
*{box-sizing:border-box}
button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer}
svg{width:20px;height:20px;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round;flex:none}
:focus-visible{outline:2px solid var(--a);outline-offset:2px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media(forced-colors:active){:host{--a:Highlight;--l:CanvasText;--m:CanvasText}}
`;

/** The badge: a number in a pill. */
export const BADGE = `
[part=badge]{min-width:18px;height:18px;padding:0 5px;border-radius:9px;background:light-dark(#c0253f,#d1304e);color:#fff;
font:600 11px/18px system-ui,sans-serif;text-align:center;font-variant-numeric:tabular-nums;forced-color-adjust:none}
[part=badge]:empty{display:none}
@media(forced-colors:active){[part=badge]{background:Highlight;color:HighlightText}}
`;

/** The bell, and the panel before its own styles are there. */
export const BELL = `
[part=bell]{position:relative;width:40px;height:40px;display:grid;place-items:center;border-radius:50%;color:inherit;anchor-name:--bell}
:host([view=page]){display:block;height:100dvh}
:host([view=page]) [part=bell]{display:none}
[part=bell]:hover{background:var(--h)}
[part=bell] svg{width:24px;height:24px}
[part=bell] [part=badge]{position:absolute;inset-block-start:0;inset-inline-start:50%}
`;
