"""The loop: accept, check, train, watch, decide, act. The only room that joins the others."""
