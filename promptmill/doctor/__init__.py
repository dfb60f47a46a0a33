"""What a helpdesk would ask: small checks of the machine, the account and the folders, each in a process of its own.

    values        a finding: pass, warn or fail, and what to do
    isolated      runs checks side by side, with a deadline each
    one           a single check, as its process runs it
    checks        the table of them
    packages, driver, bits, hub, folders, partitions, luigi_config      what is checked
    showing       findings for people

A check that crashes or hangs fails by itself and disturbs no other.
"""
