---@meta tidegate.sim
-- SPDX-License-Identifier: Apache-2.0
-- Simulated devices: what a protocol's sim.lua has from `require "tidegate.sim"`. Guide:
-- docs/lua-adapter.md.

---@class tg.sim.Fix where a device is
---@field latitude number degrees, south is negative
---@field longitude number degrees, west is negative
---@field course_deg integer 0 is north
---@field speed_kmh number
---@field time integer ms since 1970, as the device's clock has it

---@class tg.sim.Device made by the protocol, with more that the simulator keeps in it
---@field id string for messages
---@field n integer its number among the simulator's own, from 1
---@field conn tg.Conn
---@field mute boolean? it answers no commands

---@class tg.sim.Protocol
---@field device fun(number: integer, config: table): tg.sim.Device
---@field login fun(conn: tg.Conn, device: tg.sim.Device): boolean?, any may wait; nil or false and why: refused
---@field report fun(device: tg.sim.Device, fix: tg.sim.Fix): string, any whole frames, and the key of their acknowledgement; nil: there is none
---@field message fun(conn: tg.Conn, device: tg.sim.Device, message: tg.Message): string?, any "ack" and its key, or "command"
---@field noise? string bytes that belong to no frame

local sim = {}

--- The options of a simulator: host, port, devices, rate, window, route, misbehave, …
---@param port integer where servers of the protocol listen, mostly
---@param own? table<string, tg.Option>
---@return table<string, tg.Option>
function sim.options(port, own) end

--- Fills in the adapter's handlers and starts its devices. Main chunk only.
---@param adapter tg.Adapter its config has sim.options()
---@param protocol tg.sim.Protocol
function sim.run(adapter, protocol) end

return sim
