import{g as a,k as b,l as c}from"./v1-S3XOBWFQ.js";export{a as BellwireBadge,b as BellwireInbox,c as BellwirePreferences};
