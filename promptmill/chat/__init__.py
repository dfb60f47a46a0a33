"""Talking to a model: loaded and sampled as in a dataset run, a token at a time on the screen.

    settings      what the user asks for
    opening       from settings to a loaded model, by the code that a run uses
    conversation  turns, and the requests and rows that they make
    passes        forward passes that keep the cache of keys and values from turn to turn
    speaking      one completion, token by token
    shown         its text while it comes
    orders        /reset, /system, /save, /undo, /help
    interrupts    what Ctrl-C does
    lines         where prompts come from: a terminal or a pipe
    screen        where completions and remarks go
    session       the loop
    talking       all of it

Importing `talking` imports torch; importing `settings` does not.
"""
