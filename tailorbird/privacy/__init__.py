"""People in charge of what is known of them: pseudonyms, encryption, consent, erasure."""
