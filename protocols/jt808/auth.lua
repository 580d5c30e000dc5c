-- SPDX-License-Identifier: Apache-2.0
-- Who may speak. Registration and authentication both ask the host's chain of backends. In the
-- mode "issue" any code will do that the chain accepts, since terminals keep codes of platforms
-- that are gone; in the mode "strict" it must be one that was issued here or stands in `codes`.
local tg = require "tidegate"

local M = {}

local TTL_MAX = 45 * 86400 -- of the host
local DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" -- 32, so that a byte has five bits of one

local function new_code()
  return (tg.crypto.random(16):gsub(".", function(c)
    local at = c:byte() % 32 + 1
    return DIGITS:sub(at, at)
  end))
end

local function key(device) return "code/" .. device end

function M.lifetime(config) return math.min(config.code_lifetime // 1000, TTL_MAX) end

--- The code of a device: configured, issued before, or new.
function M.issue(device, config)
  local code = config.codes[device] or tg.kv.get(key(device))
  if code then return code end
  code = new_code()
  local mine = tg.kv.add(key(device), code, { ttl = M.lifetime(config), durable = true })
  return mine and code or tg.kv.get(key(device)) or code
end

--- Compares all of both, so that time tells nothing.
local function same(a, b)
  if type(a) ~= "string" or type(b) ~= "string" or #a ~= #b then return false end
  local differ = 0
  for i = 1, #a do differ = differ | (a:byte(i) ~ b:byte(i)) end
  return differ == 0
end

--- More takeovers of one device than can be honest: two terminals with one number.
function M.flapping(device, config)
  local n = tg.kv.incr("logins/" .. device, 1, { ttl = 60 })
  return n ~= nil and n > config.logins_per_minute
end

--- @return table? attributes
--- @return string? why not
function M.register(conn, device, data)
  local who, err = tg.auth.check {
    device = device, peer = conn.peer,
    extra = {
      stage = "register", province = data.province, city = data.city, model = data.model,
      manufacturer_id = data.manufacturer_id, terminal_id = data.terminal_id,
      plate = data.plate, plate_color = data.plate_color,
    },
  }
  if who then return who end
  return nil, err and err.message or "refused"
end

--- @return table? attributes
--- @return string? why not
function M.authenticate(conn, device, data, config)
  local code = data.auth_code or ""
  if M.flapping(device, config) then return nil, "too many logins of this device in a minute" end
  if config.auth == "strict" then
    local want = config.codes[device] or tg.kv.get(key(device))
    if not same(want, code) then return nil, "the code is none that was issued" end
    if not config.codes[device] then -- it lives on from now
      tg.kv.set(key(device), code, { ttl = M.lifetime(config), durable = true })
    end
  end
  local as_user = config.code_is == "password"
  local who, err = tg.auth.check {
    device = device, peer = conn.peer,
    user = as_user and device or nil, password = as_user and code or nil,
    extra = {
      stage = "auth", code = code, imei = data.imei, software_version = data.software_version,
    },
  }
  if who then return who end
  return nil, err and err.message or "refused"
end

return M
