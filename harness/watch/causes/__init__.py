"""Why it hangs: from a finding to a class of cause and a sentence."""
