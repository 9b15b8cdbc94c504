import{g as a,k as b,l as c}from"./v1-Q3VU5SM7.js";export{a as BellwireBadge,b as BellwireInbox,c as BellwirePreferences};
