"""MetaSchedule's candidates in C++: equal to what `meta_schedule.tir` reads, to the last bit."""
