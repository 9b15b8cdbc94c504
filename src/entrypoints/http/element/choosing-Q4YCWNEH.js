var u=l=>new h(l),h=class{#t;#r;#e=null;#i=new Map;#n=new Set;#o=null;#a=!1;#h=!1;constructor(t){let{root:e,feed:i,signal:n,h:r,adopt:s}=t;this.#t=t,this.#r=r("div"),s(d),e.replaceChildren(this.#r),this.#r.addEventListener("change",({target:o})=>this.#p(o)),this.#r.addEventListener("click",({target:o})=>o.localName==="button"&&this.#s()),i.addEventListener("change",()=>i.state==="online"&&!this.#e&&this.#s(),{signal:n}),i.addEventListener("preferences",o=>this.#u(o.detail),{signal:n}),this.#s()}render(){let{h:t,morph:e,text:i}=this.#t,n=!this.#e&&this.#a,r={role:"group","aria-label":i("preferences"),"aria-busy":n&&"true"};e(this.#r,t("div",r,...this.#c()));for(let s of this.#r.querySelectorAll("input"))s.checked=s.hasAttribute("data-on")}#c(){let{feed:t,h:e,text:i}=this.#t;if(this.#e){let n=this.#e.categories.map(r=>this.#d(r));return n.length?[e("ul",{part:"list",role:"list"},...n)]:[this.#l("noCategories")]}return t.state==="signed-out"?[this.#l("signedOut")]:this.#h?[this.#l("preferencesFailed"),e("button",{part:"retry",type:"button"},i("retry"))]:[e("div",{class:"wait","aria-hidden":"true"})]}#d({id:t,title:e,description:i,enabled:n,mandatory:r}){let{h:s}=this.#t,o=r||(this.#i.get(t)??n),a=r?"mandatory":this.#n.has(t)&&"rolledBack",c=[i&&`about-${t}`,a&&`note-${t}`].filter(Boolean).join(" ");return s("li",{part:"row","data-key":t},s("label",{part:"label"},e??t,s("input",{...{type:"checkbox",role:"switch",part:"switch","data-category":t,"data-on":o,disabled:r},"aria-describedby":c||null})),i&&s("p",{part:"description",id:`about-${t}`},i),a&&s("p",{part:"note",id:`note-${t}`,role:r?null:"alert"},this.#t.text(a)))}#l(t){return this.#t.h("p",{part:"note"},this.#t.text(t))}#p({checked:t,dataset:e}){let i=e.category;this.#n.delete(i),this.#i.set(i,t),this.#s()}#u(t){this.#o=t,this.#s()}async#s(){if(this.#a)return this.#t.change();for(this.#a=!0,this.#h=!1,this.#t.change();!this.#t.signal.aborted&&!this.#h;){if(this.#i.size)await this.#f();else if(!this.#e||this.#o!==null&&this.#o!==this.#e.preferences_version)await this.#g();else break;this.#t.change()}this.#a=!1,this.#t.change()}async#f(){let t=[...this.#i];try{this.#e=await this.#t.feed.inbox.setPreferences(Object.fromEntries(t))}catch(e){for(let[i]of t)this.#n.add(i);this.#t.fail(e)}for(let[e,i]of t)this.#i.get(e)===i&&this.#i.delete(e);for(let e of this.#i.keys())this.#n.delete(e)}async#g(){this.#o=null;try{this.#e=await this.#t.feed.inbox.preferences()}catch(t){this.#h=!0,this.#t.fail(t)}}},d=`
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
`;export{u as choosing};
