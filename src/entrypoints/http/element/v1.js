import{i as a,m as b,n as c}from"./v1-JOVTXGGK.js";export{a as BellwireBadge,b as BellwireInbox,c as BellwirePreferences};
