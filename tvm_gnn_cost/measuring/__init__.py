"""Running built schedules, on this machine or on the servers of an RPC tracker."""
