/** The panel, its rows and the toasts. */
export const PANEL = `
[part=panel]{color:var(--t);background:var(--s);border:1px solid var(--l);border-radius:var(--r);padding:0;margin:0;inset:auto;
width:min(var(--bellwire-width,380px),calc(100vw - 16px));max-height:min(640px,calc(100dvh - 16px));box-shadow:0 8px 28px #0000002e;overflow:hidden;text-align:start}
[part=panel]:is(:popover-open,[open]){display:flex;flex-direction:column;animation:rise .12s ease-out}
[part=panel]:focus,.scroller:focus,[role=menuitem]:focus{outline:none}
[part=panel].modal{width:100vw;height:100dvh;max-width:none;max-height:none;border:0;border-radius:0;inset:0}
:host([view=page]) [part=panel]{position:static;width:100%;height:100%;max-height:none;box-shadow:none;animation:none}
@supports(position-area:block-end){[part=panel]:not(.modal,[data-page]){position-anchor:--bell;position-area:block-end span-inline-start;
position-try:most-height flip-inline,flip-block,flip-block flip-inline;margin-block:8px;max-height:min(640px,100% - 16px)}
[part=menu]{position-area:block-end span-inline-start;position-try-fallbacks:flip-block;margin:4px 0}}
@keyframes rise{from{opacity:0;translate:0 -4px}}
@keyframes show{from{opacity:0}}
@keyframes grow{from{max-height:0;padding-block:0}}
[part=header]{display:flex;align-items:center;gap:4px;padding:12px 16px 8px}
h2{font-size:16px;line-height:24px;font-weight:650;margin:0;margin-inline-end:auto}
h3{font:inherit;margin:0}
p{margin:0}
[part=header] button{display:flex;align-items:center;gap:4px;min-width:28px;height:28px;padding:0 6px;border-radius:8px;color:var(--a);font-size:13px;justify-content:center}
[part=header] button:hover,.tool:hover,[role=menuitem]:is(:hover,:focus){background:var(--h)}
[role=tablist]{display:flex;gap:6px;padding:0 16px 10px;overflow-x:auto;scrollbar-width:none;flex:none;border-bottom:1px solid var(--l)}
[role=tab]{padding:3px 11px;border:1px solid var(--l);border-radius:99px;font-size:13px;color:var(--m);white-space:nowrap}
[role=tab]:focus-visible{outline-offset:-2px}
[role=tab][aria-selected=true]{background:var(--a);border-color:var(--a);color:var(--s)}
.count{font-variant-numeric:tabular-nums;font-weight:600}
.bar{padding:6px 16px;font-size:13px;color:var(--m);background:color-mix(in srgb,var(--t) 6%,var(--s));border-bottom:1px solid var(--l)}
[data-state$=connecting]{overflow:hidden;animation:grow .2s 1.5s both}
.scroller{position:relative;overflow-y:auto;overscroll-behavior:contain;flex:1;min-height:120px;scrollbar-width:thin}
[part=pill]{position:sticky;z-index:2;inset-block-start:8px;display:block;margin:8px auto -36px;height:28px;padding:0 14px;border-radius:99px;background:var(--a);color:var(--s);font-weight:600;font-size:13px;box-shadow:0 2px 8px #0003}
[part=list]{list-style:none;margin:0;padding:0}
li{position:relative;display:flex;gap:12px;padding-block:12px 6px;padding-inline:20px 16px;margin-block-end:var(--bellwire-row-gap,0);border-bottom:1px solid var(--l);contain:content}
li:hover{background:color-mix(in srgb,var(--t) 4%,var(--s))}
li[part~=row-unread]::before{content:"";position:absolute;inset-inline-start:7px;inset-block-start:24px;width:8px;height:8px;border-radius:50%;background:var(--a);forced-color-adjust:none}
.body{flex:1;min-width:0;overflow-wrap:anywhere}
.main{all:unset;cursor:pointer;font-weight:400}
[part~=row-unread] .main{font-weight:600}
.main::after{content:"";position:absolute;inset:0}
.main:focus-visible::after{outline:2px solid var(--a);outline-offset:-3px;border-radius:8px}
.main,[part=text]{display:-webkit-box;-webkit-line-clamp:3;-webkit-box-orient:vertical;overflow:hidden}
[part=text]{color:var(--m)}
[part=text] b{color:var(--t);font-weight:500}
[part=avatar]{display:flex;flex:none;width:32px}
.face{width:32px;height:32px;flex:none;border-radius:50%;display:grid;place-items:center;object-fit:cover;font:600 12px/1 system-ui,sans-serif;color:var(--t);background:color-mix(in srgb,var(--a) 18%,var(--s))}
.many{display:block;position:relative;height:32px}
.many .face{position:absolute;width:20px;height:20px;font-size:8px;inset-block-start:12px;inset-inline-start:0;box-shadow:0 0 0 2px var(--s)}
.many .face:first-child{inset-block-start:0}
.many .face:last-child{inset-inline-start:12px}
.many .face:first-child:nth-last-child(3){inset-inline-start:6px}
.icon{color:var(--a)}
[data-severity=success] .icon{--a:light-dark(#16704c,#5fd6a1)}
[data-severity=warning] .icon{--a:light-dark(#8a5200,#f0b357)}
[data-severity=critical] .icon{--a:var(--d)}
.actions{position:relative;display:flex;flex-wrap:wrap;gap:8px;padding-block:8px 2px;width:fit-content}
[part=action],.state .main{all:unset;cursor:pointer;font-size:13px;font-weight:600;padding:3px 11px;border:1px solid var(--l);border-radius:8px;color:var(--t)}
[part=action]:hover,.state .main:hover{border-color:var(--a)}
[part=action]:focus-visible,.state .main:focus-visible,.edge .main:focus-visible{outline:2px solid var(--a);outline-offset:1px}
[part=action].primary,.state .main{background:var(--a);border-color:var(--a);color:var(--s)}
[part=action].danger{color:var(--d)}
[part=action].done{display:flex;gap:4px;border-color:transparent;padding-inline:0;cursor:default;color:var(--m)}
.done svg{width:18px}
.foot{display:flex;align-items:center;justify-content:space-between;min-height:28px}
time{font-size:12px;line-height:16px;color:var(--m)}
.tools{position:relative;display:flex;gap:2px;color:var(--m)}
.tool{display:grid;place-items:center;width:28px;height:28px;border-radius:8px}
.tool svg{width:17px;height:17px}
.tool:focus-visible{outline-offset:-2px}
@media(hover:hover){li:not(:hover,:focus-within) .tool svg{display:none}}
.state{display:grid;justify-items:center;gap:12px;text-align:center;color:var(--m)}
.state:has(p){padding:48px 24px}
.state>svg{width:32px;height:32px;opacity:.6}
.state .main::after,.edge .main::after{content:none}
.edge{min-height:1px;text-align:center}
.edge .main{padding:12px;color:var(--a)}
.skeleton{display:grid;grid-template-columns:32px 1fr;gap:8px 12px;width:100%;padding:14px 16px 14px 20px;animation:show .2s .15s both}
.skeleton>*{height:10px;border-radius:5px;background:var(--l);max-width:180px}
.skeleton i{height:32px;border-radius:50%;grid-row:span 2}
.skeleton s{max-width:none}
[part=footer]{border-top:1px solid var(--l);padding:6px 16px}
[hidden]{display:none!important}
[part=footer] button{padding:4px 0;color:var(--a);font-size:13px}
bellwire-preferences{overflow-y:auto;flex:1}
.help{padding:12px 16px;border-top:1px solid var(--l);font-size:13px}
.help h3{font-weight:600;margin-block-end:6px}
dl{display:grid;grid-template-columns:auto 1fr;gap:4px 16px;margin:0}dd{margin:0}
kbd{font:inherit;color:var(--m)}
[part=menu]{inset:auto;margin:0;border:1px solid var(--l);border-radius:10px;padding:4px;background:var(--s);color:var(--t);box-shadow:0 4px 16px #0003}
[role=menuitem]{display:flex;width:100%;justify-content:space-between;align-items:center;gap:24px;padding:6px 10px;border-radius:7px}
.toasts{position:fixed;inset:auto;inset-block-end:16px;inset-inline-end:16px;margin:0;border:0;padding:0;background:none;overflow:visible;width:min(340px,calc(100vw - 32px))}
.toasts:popover-open{display:grid;gap:8px}
[part=toast]{position:relative;display:flex;gap:8px;align-items:start;padding-block:12px;padding-inline:16px 8px;color:var(--t);background:var(--s);border:1px solid var(--l);border-radius:var(--r);box-shadow:0 4px 16px #0003;animation:rise .12s ease-out}
[part=toast] .main{flex:1;padding-block:4px;overflow-wrap:anywhere}
[part=toast] :is(b,span){display:block;font-weight:600}
[part=toast] span{font-weight:400;color:var(--m)}
[part=toast] .tool{position:relative}
@media(prefers-reduced-motion:reduce){*{animation-duration:0s!important}}
@media(forced-colors:active){[role=menuitem]:focus{outline:2px solid Highlight}.face{border:1px solid CanvasText}[role=tab][aria-selected=true],[part=pill]{forced-color-adjust:none;background:Highlight;color:HighlightText}.skeleton>*{background:GrayText}}
`;
