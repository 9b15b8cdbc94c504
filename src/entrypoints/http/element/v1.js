import{g as a,k as b,l as c}from"./v1-RQV7OMOC.js";export{a as BellwireBadge,b as BellwireInbox,c as BellwirePreferences};
