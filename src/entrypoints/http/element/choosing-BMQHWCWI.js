import{a as r,e as l,g as h,h as c}from"./v1-7VSMJUFJ.js";var d=class{#t;#r;#d;#s=r("div");#e=null;#i=new Map;#o=new Set;#a=null;#p="";#l=!1;#h=!1;constructor(t,e,i,o){this.#t=t,this.#r=i,this.#d=o,h(e,c,u),e.replaceChildren(this.#s),this.#s.addEventListener("change",({target:n})=>this.#g(n)),this.#s.addEventListener("click",({target:n})=>n.localName==="button"&&this.#n());let s={signal:o};i.addEventListener("change",()=>this.#f(),s),i.addEventListener("preferences",n=>this.#x(n.detail),s),this.#n()}render(){let t=!this.#e&&this.#l,e={role:"group","aria-label":this.#t.text("preferences"),"aria-busy":t&&"true"};l(this.#s,r("div",e,...this.#u()));for(let i of this.#s.querySelectorAll("input"))i.checked=i.hasAttribute("data-on")}#u(){if(this.#e){let t=this.#e.categories.map(e=>this.#b(e));return t.length?[r("ul",{part:"list",role:"list"},...t)]:[this.#c("noCategories")]}return this.#r.state==="signed-out"?[this.#c("signedOut")]:this.#h?[this.#c("preferencesFailed"),r("button",{part:"retry",type:"button"},this.#t.text("retry"))]:[r("div",{class:"wait","aria-hidden":"true"})]}#b({id:t,title:e,description:i,enabled:o,mandatory:s}){let n=s||(this.#i.get(t)??o),a=s?"mandatory":this.#o.has(t)&&"rolledBack",p=[i&&`about-${t}`,a&&`note-${t}`].filter(Boolean).join(" ");return r("li",{part:"row","data-key":t},r("label",{part:"label"},e??t,r("input",{...{type:"checkbox",role:"switch",part:"switch","data-category":t,"data-on":n,disabled:s},"aria-describedby":p||null})),i&&r("p",{part:"description",id:`about-${t}`},i),a&&r("p",{part:"note",id:`note-${t}`,role:s?null:"alert"},this.#t.text(a)))}#c(t){return r("p",{part:"note"},this.#t.text(t))}#g({checked:t,dataset:e}){let i=e.category;this.#o.delete(i),this.#i.set(i,t),this.#n()}#f(){let{state:t}=this.#r;t==="online"&&t!==this.#p&&!this.#e&&this.#n(),this.#p=t}#x(t){this.#a=t,this.#n()}async#n(){if(this.#l)return this.#t.change();for(this.#l=!0,this.#h=!1,this.#t.change();!this.#d.aborted&&!this.#h;){if(this.#i.size)await this.#m();else if(!this.#e||this.#a!==null&&this.#a!==this.#e.preferences_version)await this.#y();else break;this.#t.change()}this.#l=!1,this.#t.change()}async#m(){let t=[...this.#i];try{this.#e=await this.#r.inbox.setPreferences(Object.fromEntries(t))}catch(e){for(let[i]of t)this.#o.add(i);this.#t.tell("error",e)}for(let[e,i]of t)this.#i.get(e)===i&&this.#i.delete(e);for(let e of this.#i.keys())this.#o.delete(e)}async#y(){this.#a=null;try{this.#e=await this.#r.inbox.preferences()}catch(t){this.#h=!0,this.#t.tell("error",t)}}},u=`
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
`;export{d as Choices};
