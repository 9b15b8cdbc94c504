import{i as a,m as b,n as c}from"./v1-7VSMJUFJ.js";export{a as BellwireBadge,b as BellwireInbox,c as BellwirePreferences};
