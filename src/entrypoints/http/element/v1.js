import{i as a,m as b,n as c}from"./v1-WHYXJ23M.js";export{a as BellwireBadge,b as BellwireInbox,c as BellwirePreferences};
