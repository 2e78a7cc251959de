//! Each safety rule, switched off, is missed: a conversation that the rule decides goes wrong.
