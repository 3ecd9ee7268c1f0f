"""Why a request failed, in words: tables of every response flag, detail and deciding setting, and what they tell."""
