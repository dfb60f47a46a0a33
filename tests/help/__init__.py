"""What the help of every task and command says, as recorded files: they change when somebody means them to."""
