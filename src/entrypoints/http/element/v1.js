import{g as a,k as b,l as c}from"./v1-RWSNB7IT.js";export{a as BellwireBadge,b as BellwireInbox,c as BellwirePreferences};
