"""What a stage graph is: computation, loops, hardware, features. Knows no scheduler, and uses nothing but numpy."""
