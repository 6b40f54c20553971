/*
 * taxonomy.c
 *	  The labels that derived answers are made of: 34 parents, 10 children each.
 *
 * The names are invented for tests; the service's own list is not published.
 */
#include "taxonomy.h"

#define CHILDREN 10

typedef struct category
{
	const char *parent;
	const char *children[CHILDREN];
} category;

static const category categories[] = {
	{"Clothing", {"Outerwear", "Apparel", "Dress", "Footwear", "Hat",
	"Uniform", "Swimwear", "Scarf", "Glove", "Suit"}},
	{"Animal", {"Dog", "Cat", "Bird", "Horse", "Elephant",
	"Panda", "Rabbit", "Sheep", "Cow", "Tiger"}},
	{"Marine Life", {"Fish", "Whale", "Dolphin", "Shark", "Jellyfish",
	"Coral", "Crab", "Octopus", "Turtle", "Starfish"}},
	{"Insect", {"Butterfly", "Bee", "Dragonfly", "Ant", "Beetle",
	"Spider", "Moth", "Grasshopper", "Ladybird", "Caterpillar"}},
	{"Plant", {"Tree", "Flower", "Grass", "Leaf", "Cactus",
	"Bamboo", "Fern", "Moss", "Bonsai", "Succulent"}},
	{"Flower", {"Rose", "Tulip", "Lotus", "Sunflower", "Orchid",
	"Peony", "Lily", "Cherry Blossom", "Daisy", "Lavender"}},
	{"Food", {"Noodles", "Rice", "Bread", "Cake", "Soup",
	"Salad", "Hotpot", "Dumpling", "Pizza", "Barbecue"}},
	{"Fruit", {"Apple", "Banana", "Orange", "Grape", "Strawberry",
	"Watermelon", "Peach", "Mango", "Pineapple", "Cherry"}},
	{"Vegetable", {"Tomato", "Carrot", "Cabbage", "Pepper", "Potato",
	"Cucumber", "Mushroom", "Onion", "Pumpkin", "Corn"}},
	{"Drink", {"Coffee", "Tea", "Juice", "Beer", "Wine",
	"Milk", "Water", "Cocktail", "Soda", "Smoothie"}},
	{"Vehicle", {"Car", "Bus", "Truck", "Bicycle", "Motorcycle",
	"Train", "Tram", "Taxi", "Ambulance", "Scooter"}},
	{"Watercraft", {"Boat", "Ship", "Sailboat", "Canoe", "Ferry",
	"Yacht", "Kayak", "Submarine", "Cargo Ship", "Raft"}},
	{"Aircraft", {"Aeroplane", "Helicopter", "Balloon", "Drone", "Glider",
	"Rocket", "Jet", "Parachute", "Airship", "Kite"}},
	{"Building", {"House", "Skyscraper", "Temple", "Church", "Castle",
	"Bridge", "Tower", "Stadium", "Museum", "Pagoda"}},
	{"Indoor Scene", {"Kitchen", "Bedroom", "Living Room", "Office",
	"Classroom", "Bathroom", "Corridor", "Library", "Gym", "Shop"}},
	{"City Scene", {"Street", "Square", "Night View", "Market", "Park",
	"Crossroads", "Skyline", "Alley", "Station", "Harbour"}},
	{"Landscape", {"Mountain", "Beach", "Lake", "River", "Forest",
	"Desert", "Waterfall", "Grassland", "Valley", "Cave"}},
	{"Sky", {"Cloud", "Sunset", "Sunrise", "Rainbow", "Moon",
	"Star", "Lightning", "Aurora", "Blue Sky", "Fog"}},
	{"Weather", {"Rain", "Snow", "Storm", "Wind", "Frost",
	"Ice", "Hail", "Haze", "Sunshine", "Flood"}},
	{"Person", {"Man", "Woman", "Child", "Baby", "Crowd",
	"Elder", "Portrait", "Selfie", "Couple", "Team"}},
	{"Body", {"Face", "Hand", "Hair", "Eye", "Foot",
	"Smile", "Beard", "Arm", "Leg", "Tattoo"}},
	{"Occupation", {"Doctor", "Teacher", "Chef", "Police Officer",
	"Firefighter", "Worker", "Farmer", "Singer", "Soldier", "Pilot"}},
	{"Sport", {"Football", "Basketball", "Tennis", "Swimming", "Running",
	"Skiing", "Surfing", "Cycling", "Yoga", "Badminton"}},
	{"Event", {"Wedding", "Birthday", "Concert", "Festival", "Graduation",
	"Meeting", "Parade", "Exhibition", "Ceremony", "Party"}},
	{"Furniture", {"Chair", "Table", "Sofa", "Bed", "Cabinet",
	"Bookshelf", "Desk", "Lamp", "Mirror", "Curtain"}},
	{"Household", {"Cup", "Bottle", "Plate", "Knife", "Umbrella",
	"Clock", "Candle", "Basket", "Towel", "Vase"}},
	{"Electronics", {"Phone", "Computer", "Television", "Camera", "Keyboard",
	"Headphones", "Printer", "Tablet", "Speaker", "Remote Control"}},
	{"Music", {"Guitar", "Piano", "Violin", "Drum", "Flute",
	"Trumpet", "Microphone", "Saxophone", "Harp", "Stage"}},
	{"Art", {"Painting", "Sculpture", "Drawing", "Calligraphy", "Mural",
	"Ceramics", "Origami", "Mosaic", "Embroidery", "Mask"}},
	{"Document", {"Book", "Newspaper", "Receipt", "Invoice", "Map",
	"Poster", "Screenshot", "Identity Card", "Chart", "Handwriting"}},
	{"Toy", {"Doll", "Teddy Bear", "Puzzle", "Building Blocks", "Toy Car",
	"Lantern", "Spinning Top", "Yo-yo", "Slide", "Swing"}},
	{"Jewellery", {"Ring", "Necklace", "Watch", "Earring", "Bracelet",
	"Crown", "Brooch", "Pearl", "Gold", "Jade"}},
	{"Tool", {"Hammer", "Saw", "Ladder", "Drill", "Wrench",
	"Scissors", "Brush", "Shovel", "Rope", "Toolbox"}},
	{"Transport Facility", {"Road", "Railway", "Airport", "Tunnel", "Traffic Light",
	"Car Park", "Motorway", "Platform", "Pier", "Petrol Station"}},
};

/* Return how many level-2 labels there are. */
int
taxonomy_size(void)
{
	return CHILDREN * (int) (sizeof(categories) / sizeof(categories[0]));
}

/* Return the i-th level-2 label. */
taxon
taxonomy_at(int i)
{
	const category *c = &categories[i / CHILDREN];
	taxon		t = {c->children[i % CHILDREN], c->parent};

	return t;
}
