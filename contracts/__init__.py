"""What all services share in meaning: ids, codes, the alliance, topics and one class per fact."""
