"""Canaries: counted while they run, judged sequentially, ramped by schedule, and stopped by themselves where they are worse."""
