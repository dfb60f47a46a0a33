"""Tests of the stages that speak with the Hub: against a real local one, faults included."""
