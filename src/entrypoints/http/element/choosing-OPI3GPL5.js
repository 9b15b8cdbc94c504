import{a as r,c as l,e as h,f as c}from"./v1-RQV7OMOC.js";var d=class{#t;#n;#d;#r=r("div");#e=null;#i=new Map;#o=new Set;#a=null;#l=!1;#h=!1;constructor(t,i,e,o){this.#t=t,this.#n=e,this.#d=o,h(i,c,u),i.replaceChildren(this.#r),this.#r.addEventListener("change",({target:n})=>this.#b(n)),this.#r.addEventListener("click",({target:n})=>n.localName==="button"&&this.#s());let s={signal:o};e.addEventListener("change",()=>e.state==="online"&&!this.#e&&this.#s(),s),e.addEventListener("preferences",n=>this.#g(n.detail),s),this.#s()}render(){let t=!this.#e&&this.#l,i={role:"group","aria-label":this.#t.text("preferences"),"aria-busy":t&&"true"};l(this.#r,r("div",i,...this.#p()));for(let e of this.#r.querySelectorAll("input"))e.checked=e.hasAttribute("data-on")}#p(){if(this.#e){let t=this.#e.categories.map(i=>this.#u(i));return t.length?[r("ul",{part:"list",role:"list"},...t)]:[this.#c("noCategories")]}return this.#n.state==="signed-out"?[this.#c("signedOut")]:this.#h?[this.#c("preferencesFailed"),r("button",{part:"retry",type:"button"},this.#t.text("retry"))]:[r("div",{class:"wait","aria-hidden":"true"})]}#u({id:t,title:i,description:e,enabled:o,mandatory:s}){let n=s||(this.#i.get(t)??o),a=s?"mandatory":this.#o.has(t)&&"rolledBack",p=[e&&`about-${t}`,a&&`note-${t}`].filter(Boolean).join(" ");return r("li",{part:"row","data-key":t},r("label",{part:"label"},i??t,r("input",{...{type:"checkbox",role:"switch",part:"switch","data-category":t,"data-on":n,disabled:s},"aria-describedby":p||null})),e&&r("p",{part:"description",id:`about-${t}`},e),a&&r("p",{part:"note",id:`note-${t}`,role:s?null:"alert"},this.#t.text(a)))}#c(t){return r("p",{part:"note"},this.#t.text(t))}#b({checked:t,dataset:i}){let e=i.category;this.#o.delete(e),this.#i.set(e,t),this.#s()}#g(t){this.#a=t,this.#s()}async#s(){if(this.#l)return this.#t.change();for(this.#l=!0,this.#h=!1,this.#t.change();!this.#d.aborted&&!this.#h;){if(this.#i.size)await this.#f();else if(!this.#e||this.#a!==null&&this.#a!==this.#e.preferences_version)await this.#x();else break;this.#t.change()}this.#l=!1,this.#t.change()}async#f(){let t=[...this.#i];try{this.#e=await this.#n.inbox.setPreferences(Object.fromEntries(t))}catch(i){for(let[e]of t)this.#o.add(e);this.#t.tell("error",i)}for(let[i,e]of t)this.#i.get(i)===e&&this.#i.delete(i);for(let i of this.#i.keys())this.#o.delete(i)}async#x(){this.#a=null;try{this.#e=await this.#n.inbox.preferences()}catch(t){this.#h=!0,this.#t.tell("error",t)}}},u=`
:host{display:block;color:var(--t)}
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
`;export{d as Choices};
