"""The service under load and faults, seen from outside, and whether it kept its promises."""
