"""The service under load and under faults, seen from outside, and whether it kept its promises."""
