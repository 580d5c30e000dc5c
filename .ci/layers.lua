-- SPDX-License-Identifier: Apache-2.0
-- The walls between rooms: which headers a room may include and which modules it may require.
-- A wall that is broken is named with file, line and what the room may see instead.

-- room → rooms it may include, and libraries (header prefixes) it may use.
local ROOMS = {
  { path = "core/include/", see = {}, libs = {} },
  { path = "core/base/", see = { "base" }, libs = {} },
  { path = "core/net/", see = { "base", "net" }, libs = { "uv.h", "openssl/" } },
  { path = "core/hub/", see = { "base", "hub" }, libs = {} },
  { path = "core/codec/", see = { "base", "codec" },
    libs = { "yajl/", "iconv.h", "openssl/", "zlib.h" } },
  { path = "core/plugin/", see = { "base", "net", "hub", "codec", "plugin" },
    libs = { "gelf.h", "libelf.h", "elf.h", "dlfcn.h", "openssl/", "uv.h" } },
  { path = "core/lua/", see = { "base", "codec", "lua" },
    libs = { "lua.h", "lauxlib.h", "lualib.h" } },
  { path = "core/admin/", see = { "base", "net", "hub", "codec", "plugin", "admin" },
    libs = { "microhttpd.h" } },
  { path = "core/load/", see = { "base", "load" }, libs = { "openssl/" } },
  { path = "core/host/",
    see = { "base", "net", "hub", "codec", "plugin", "lua", "admin", "load", "host" },
    libs = { "curl/", "uv.h" } },
  { path = "protocols/", see = { "<own folder>" }, libs = {} },
  { path = "plugins/", see = { "<own folder>" }, libs = "any" },
}

-- What every room may include of the system: anything that is not a known library's.
local LIBRARIES = {
  "uv.h", "openssl/", "lua.h", "lauxlib.h", "lualib.h", "microhttpd.h", "curl/", "gelf.h",
  "libelf.h", "yajl/", "hiredis", "mysql", "dlfcn.h", "cmocka.h", "iconv.h", "zlib.h", "lmdb.h",
}

local broken = 0

local function complain(file, line, what)
  broken = broken + 1
  print(("%s:%d: %s"):format(file, line, what))
end

local function starts_with_any(text, prefixes)
  for _, prefix in ipairs(prefixes) do
    if text:sub(1, #prefix) == prefix then return true end
  end
  return false
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local function check_library(room, file, line, name)
  if room.libs == "any" or not starts_with_any(name, LIBRARIES) then return end
  if starts_with_any(name, room.libs) then return end
  complain(file, line, ("%s may not use <%s>"):format(room.path, name))
end

local function check_own(room, file, line, name)
  if name:match "^tidegate" then return end
  local folder = file:match "^(.*)/"
  if exists(folder .. "/" .. name) and not name:match "%.%./" then return end
  local target = name:match "^(%w+)/"
  for _, seen in ipairs(room.see) do
    if seen == target then return end
  end
  complain(file, line, ('%s may not include "%s"; it may see: tidegate.h%s'):format(
    room.path, name, #room.see > 0 and ", " .. table.concat(room.see, ", ") or ""))
end

local function check_c(room, file)
  local n = 0
  for text in io.lines(file) do
    n = n + 1
    local system = text:match '^%s*#%s*include%s*<([^>]+)>'
    local own = text:match '^%s*#%s*include%s*"([^"]+)"'
    if system and system:match "^tidegate" then own = system
    elseif system then check_library(room, file, n, system) end
    if own then check_own(room, file, n, own) end
  end
end

--- A Lua plugin requires the host's modules and files of its own folder, nothing else.
local function check_lua(file)
  local root = file:match "^(protocols/[^/]+)/" or file:match "^(plugins/[^/]+)/" or "scripts"
  local n = 0
  for text in io.lines(file) do
    n = n + 1
    for name in text:gmatch 'require%s*%(?%s*["\']([%w_.]+)["\']' do
      local own = exists(("%s/%s.lua"):format(root, name:gsub("%.", "/")))
      if not own and not name:match "^tidegate" then
        complain(file, n, ("%s may not require '%s'"):format(root, name))
      end
    end
  end
end

local function files(pattern)
  return io.popen("git ls-files -co --exclude-standard -- " .. pattern):lines()
end

for _, room in ipairs(ROOMS) do
  for file in files(("'%s*.c' '%s*.h'"):format(room.path, room.path)) do
    if exists(file) then check_c(room, file) end
  end
end
for file in files "'protocols/*.lua' 'plugins/*.lua' 'scripts/*.lua'" do
  if exists(file) and not file:match "/spec/" then check_lua(file) end
end

if broken > 0 then
  print(("%d walls broken: see docs/architecture.md, 'Rooms'"):format(broken))
  os.exit(1)
end
