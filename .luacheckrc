std = "lua54"
max_line_length = 100
exclude_files = { "build/**" }
files["spec"] = { std = "+busted" }
files["docs/stubs"] = { ignore = { "212", "211", "111", "112", "241", "631" } }
files["etc"] = { read_globals = { "tg" } }
