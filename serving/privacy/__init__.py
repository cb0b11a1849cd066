"""What privacy needs of the feature store, the registry and the replicas: the places of people that lie there, and its commands."""
