//! Tests of the shell through its real sockets.

mod edge;
