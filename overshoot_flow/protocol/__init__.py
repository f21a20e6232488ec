"""The Overshoot API as pure functions and state machines: no sockets, tasks or clocks."""
