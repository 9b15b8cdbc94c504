import{g as a,k as b,l as c}from"./v1-R6BLNE4W.js";export{a as BellwireBadge,b as BellwireInbox,c as BellwirePreferences};
