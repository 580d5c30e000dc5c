return { admin = { enabled = "yes" } }
