-- SPDX-License-Identifier: Apache-2.0
-- Names for the field reference, which layouts do not carry: of units and blocks in English and
-- Chinese, of fields in Chinese.
local M = { fields = {} }

M.units = {
  [0x01] = { "vehicle login", "车辆登入" }, [0x04] = { "vehicle logout", "车辆登出" },
  [0x05] = { "platform login", "平台登入" }, [0x09] = { "activation", "终端激活信息" },
  [0x0A] = { "activation result", "终端激活应答" }, [0x0B] = { "key exchange", "密钥交换" },
}
M.blocks = {
  vehicle = { "whole vehicle", "整车数据" }, motors = { "drive motors", "驱动电机数据" },
  fuel_cell = { "fuel cell", "燃料电池数据" }, engine = { "engine", "发动机数据" },
  position = { "position", "车辆位置数据" }, extremes = { "extremes", "极值数据" },
  alarm = { "alarms", "报警数据" },
  storage_voltages = { "cell voltages", "可充电储能装置电压数据" },
  storage_temperatures = { "storage temperatures", "可充电储能装置温度数据" },
  pack_voltages = { "pack voltages", "动力蓄电池最小并联单元电压数据" },
  pack_temperatures = { "pack temperatures", "动力蓄电池温度数据" },
  fuel_cell_stacks = { "fuel cell stacks", "燃料电池电堆数据" },
  super_capacitor = { "super capacitor", "超级电容器数据" },
  super_capacitor_extremes = { "super capacitor extremes", "超级电容器极值数据" },
  signature = { "signature", "数字签名" },
}

local FIELDS = [[
_ 保留
accelerator_pct 加速踏板行程值|air_inlet_kpa 空气入口压力|air_inlet_temperature_c 空气入口温度|algorithm 签名算法
bit 位|bms_count 动力蓄电池管理系统数|brake_force 有制动力|brake_pct 制动踏板状态|cell_count 单体总数
cell_voltages_v 单体电压|cells_total 单体电池总数|charging 充电状态|chip_id 芯片ID|code_length 编码长度
codes_hex 储能子系统编码|command 命令标识|consumption_kg_100km 氢气消耗率|consumption_l_100km 燃料消耗率
controller_temperature_c 控制器温度|coolant_temperatures_c 冷却水出水口温度|count 个数|crankshaft_rpm 曲轴转速
current_a 电流|datum 坐标系|dcdc DC/DC状态|dcdc_temperature_c DC/DC控制器温度|drive_force 有驱动力
enable_time 启用时间|encryption 加密方式|engine_fault_count 发动机故障总数|engine_faults 发动机故障代码列表
expiry_time 失效时间|first_cell 本帧起始单体序号|fix 定位有效|flag 应答标志|flags 通用报警标志|gear 挡位
gear_invalid 挡位无效|general_fault_count 通用报警故障总数|general_faults 通用报警故障等级列表
hydrogen_inlet_kpa 氢气入口压力|hydrogen_max_concentration_mg_kg 氢气最高浓度
hydrogen_max_concentration_pct 氢气最高浓度|hydrogen_max_concentration_sensor 氢气最高浓度传感器代号
hydrogen_max_pressure_mpa 氢气最高压力|hydrogen_max_pressure_sensor 氢气最高压力传感器代号
hydrogen_max_temperature_c 氢系统中最高温度|hydrogen_max_temperature_probe 氢系统中最高温度探针代号
hydrogen_remaining_pct 剩余氢量百分比|iccid ICCID|info 信息|insulation_kohm 绝缘电阻|items 项|key 密钥
key_type 密钥类型|latitude 纬度|length 数据单元长度|level 等级|longitude 经度|max_temperature_c 最高温度值
max_temperature_probe 最高温度探针序号|max_temperature_subsystem 最高温度子系统号
max_temperature_system 最高温度系统号|max_voltage_cell 最高电压单体代号|max_voltage_subsystem 最高电压子系统号
max_voltage_system 最高电压系统号|max_voltage_v 电压最高值|mileage_km 累计里程|min_temperature_c 最低温度值
min_temperature_probe 最低温度探针序号|min_temperature_subsystem 最低温度子系统号
min_temperature_system 最低温度系统号|min_voltage_cell 最低电压单体代号|min_voltage_subsystem 最低电压子系统号
min_voltage_system 最低电压系统号|min_voltage_v 电压最低值|mode 运行模式|motor_fault_count 驱动电机故障总数
motor_faults 驱动电机故障代码列表|number 序号|other_fault_count 其他故障总数|other_faults 其他故障代码列表
pack_counts 电池包个数|password 平台密码|probe_count 温度探针总数|r 签名R值|s 签名S值|serial 流水号|signature 签名
soc_pct SOC|south 南纬|speed_kmh 车速|speed_rpm 转速|start 起始符|state 车辆状态|status 状态
storage_fault_count 可充电储能装置故障总数|storage_faults 可充电储能装置故障代码列表|subsystem_count 储能子系统数
tail_hex 剩余|temperature_c 温度|temperatures_c 温度值列表|time 数据采集时间|torque_nm 转矩|unit_count 单元总数
unit_voltages_v 单元电压|user 平台用户名|vin 唯一识别码|voltage_v 电压|west 西经
]]

for item in FIELDS:gmatch "[^|\n]+" do
  local name, zh = item:match "^([%w_]+) (.+)$"
  M.fields[name] = zh
end

return M
