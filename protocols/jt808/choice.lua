-- SPDX-License-Identifier: Apache-2.0
-- What the config says of one device, and which layout a body of it has.
local tg = require "tidegate"
local extras = require "extras"
local general = require "general"
local location = require "location"
local registry = require "registry"
local wire = require "wire"

local M = {}

--- All vendors that the config names.
---@return table<string, true>
function M.vendors(config)
  local out = { [config.vendor] = true }
  for _, map in ipairs { config.vendors, config.models } do
    for _, vendor in pairs(map) do out[vendor] = true end
  end
  return out
end

--- The edition of a device's bodies, and its vendor.
---@param phone string as in the header
---@param header string "2013" or "2019"
---@param codec table? what the session knows of the connection
function M.settings(phone, header, config, codec)
  local edition, vendor = config.edition, codec and codec.vendor or config.vendor
  if next(config.editions) or next(config.vendors) then
    local device = wire.identity(phone)
    edition = config.editions[device] or edition
    vendor = config.vendors[device] or vendor
  end
  if edition == "auto" then edition = codec and codec.edition or header end
  return edition, vendor
end

--- Is a device in a list of them, or are all?
function M.listed(list, device)
  for _, name in ipairs(list) do
    if name == "*" or name == device then return true end
  end
  return false
end

--- Editions by the number that keys of plain positions have.
M.editions = { [0] = "2013", "2019", "2011" }

--- Positions in a vendor's dialect.
local dialects = {}

---@param vendor string
---@return table layouts by edition, compiled when the vendor is new
function M.positions(vendor)
  if vendor == "standard" then return registry[0x0200].layout end
  if not dialects[vendor] then
    local items, out = extras.dialect(vendor), {}
    for _, edition in ipairs { "2013", "2019" } do
      out[edition] = tg.struct("_:sized[*-1]{ " .. location.full(edition, items)
        .. " tail:rest }")
    end
    out["2011"] = out["2013"]
    dialects[vendor] = out
  end
  return dialects[vendor]
end

--- The layout of a message's body.
---@param entry table of the registry
---@param vendor string? whose positions have extra items of their own
function M.layout(entry, edition, vendor, config)
  if entry.id == 0x0200 and vendor then return M.positions(vendor)[edition] end
  if entry.id == 0x8004 and config and config.server_time == "local" then
    return general.time_local[edition]
  end
  return entry.layout[edition]
end

return M
