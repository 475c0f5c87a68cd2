"""`streamer doctor` names the fault of each broken set-up in one line."""
